"""Learn: the explanations, each on a model of the open folder."""

from zeropoint.studio.data.library import Library
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.report.html import Html, element, literal, names_broken, paragraph, section

# Pages of a model that explain, in the order in which to read them: the address, the title, a
# sentence.
LESSONS = (
    ("/walk", "The walk", "From a single bit to the verdict, in one page of live figures."),
    ("/lab", "Number and quantizer labs",
     "Change bits, scales, codes and block sizes, and see what comes back."),
    ("/weights", "Weights", "Histograms, outliers and blocks of real weights."),
    ("/multiply", "Multiply", "One dot product, from bytes in memory to one number."),
    ("/map", "Model map", "What a model file consists of."),
)  # fmt: skip
TERMS = literal(
    "<p>The terminal explains single terms and formats:</p>"
    "<pre>zeropoint explain KL\nzeropoint explain Q4_K_M</pre>"
)
NO_MODEL_NOTE = literal(
    '<div class="empty"><p>The explanations use the weights of a real model, and this folder has '
    "none. Start the studio with one:</p>"
    "<pre>zeropoint studio Qwen/Qwen2.5-Coder-0.5B-Instruct</pre></div>"
)
MAX_MODELS = 20  # that lessons are offered for


def learn(library: Library) -> str:
    """Return the page of the explanations."""
    models = library.listing().of("model")[:MAX_MODELS]
    parts: list[Html] = []
    if models:
        base = f"/models/{models[0].id}"
        parts.append(element("ul", *(
            element("li", element("a", element("b", title), element("span", told), href=base + to,
                                  class_=None if i else "primary"))
            for i, (to, title, told) in enumerate(LESSONS)), class_="actions"))  # fmt: skip
        links = (
            element("li", element("a", names_broken(model.name), href=f"/models/{model.id}/walk"))
            for model in models
        )
        told = paragraph("The cards use the latest model. The walk on another one:")
        parts.append(section("models", "Models", told, element("ul", *links, class_="plain")))
    else:
        parts.append(NO_MODEL_NOTE)
    parts.append(section("terms", "Terms", TERMS))
    lead = "How numbers, formats and models work, on weights that you have."
    return page("Learn", sidebar(library, "/learn"), content(header("", "Learn", lead), *parts))
