"""Short stories of an island, made by a grammar: the text of the walk's small language model.

A story keeps its facts: who it is about, what was lost and of which colour, who helped, and where it
was found. A model that forgets them has lost something that every reader notices. The words were
written for this project and are under its licence (Apache-2.0).

    python docs/walk/stories.py [COUNT]     print stories
"""

import re
import sys
from random import Random

SHE = "Ada Mia Nora Ida Clara Ella Rosa Greta Lena Vera Hanna Olga".split()
HE = "Tom Ben Emil Oskar Jonas Felix Hugo Karl Leo Max Paul Anton".split()
ANIMALS = "dog cat goat gull donkey hen seal fox mouse rabbit".split()
ADULTS = "baker,teacher,keeper,doctor,fisherman,gardener,carpenter,postman".split(",")
COLOURS = "red blue green yellow white black brown grey".split()
THINGS = "kite key hat ball lamp cup bell book scarf boot spoon button".split()
MADE = "boat,chair,table,swing,bridge,ladder,wagon,door".split(",")
MATERIALS = "wood,rope,stones,paper,old boxes,leather,iron,cloth".split(",")
FOODS = "bread,soup,cake,an apple,tea,honey,cheese,a pear".split(",")
PLACES = (
    "under the bridge,behind the church,in the barn,on the pier,in the garden,by the well,"
    "on the roof of the school,in the lighthouse,beside the mill,on the beach,in the kitchen,"
    "under the old tree,near the shop,inside an empty boat"
).split(",")
HOMES = (
    "near the harbour,above the shop,beside the mill,in a little house by the sea,"
    "at the end of the road,behind the church,next to the lighthouse"
).split(",")
TIMES = (
    "One morning,One evening,On Monday,On Sunday,After lunch,Before school,In spring,"
    "One summer day,One cold day,After the storm"
).split(",")
MOODS = "small,kind,quiet,brave,clever,curious,careful,cheerful".split(",")
WEATHER = "It was raining,The sun was shining,The wind was strong,There was fog,It was snowing,The sea was calm".split(",")  # fmt: skip

PRONOUNS = {
    "she": {"He": "She", "he": "she", "him": "her", "his": "her", "child": "girl"},
    "he": {"He": "He", "he": "he", "him": "him", "his": "his", "child": "boy"},
}

# Beginnings, by the kind of story. {} are facts of the story; [a|b] is a choice.
OPENINGS = [
    "There was once a {mood} {child} called {name}. {He} lived [with {his} {animal}|alone|with {his} mother] {home}.",
    "{name} was a {mood} {child} who lived {home}. {His} best friend was [a|an old|a very small] {animal}.",
    "{name} lived {home} on the island. Everybody knew that {he} was a {mood} {child}.",
    "On the island lived a {mood} {child}. {His} name was {name}, and {he} had a {animal}.",
]
LOST = [
    "{time} {he} could not find {his} {colour} {thing}. [{weather}.|{He} was very sad.|It was gone.]",
    "{He} had a {colour} {thing} and took it everywhere. {time} it was gone.",
    "{time} {name} lost {his} {colour} {thing}. “Where is my {thing}?” {he} [asked|cried|said].",
    "{His} grandmother had given {him} a {colour} {thing}. {time} {name} lost it.",
]
SEARCH = [
    "{He} looked {wrong}, but it was not there. {He} looked {wrong2}, and it was not there either.",
    "First {he} looked {wrong}. There was [nothing|only a {animal}|only dust]. Then {he} looked {wrong2}.",
    "{He} asked {his} {animal}, but the {animal} [did not know|only looked at {him}|wanted to sleep]. So {he} went to look {wrong}.",
    "{weather}, and {he} looked {wrong} for a long time. “It is not here,” {he} said.",
]
ASKED = [
    "Then {he} met the {adult}. “Have you seen my {thing}?” asked {name}. “[Yes|Of course|I think so],” said the {adult}. “[I saw|There is] a {colour} {thing} {place}.”",
    "The {adult} came by and asked why {he} was so sad. “I lost my {colour} {thing},” said {name}. “Come with me,” said the {adult}. “I saw it {place}.”",
    "“A {colour} {thing}?” said the {adult}. “Look {place}.” {name} thanked the {adult} and ran.",
    "{He} asked the {adult}, who knew everything. The {adult} thought for a while. “It must be {place},” said the {adult}.",
]
FOUND = [
    "And there it was. The {colour} {thing} was {place}. {name} laughed and gave the {adult} {food}.",
    "They went there together, and the {thing} was {place}. “Thank you,” said {name}. {He} shared {his} {food_bare} with the {adult}.",
    "{name} found the {colour} {thing} {place}. {He} took it home and never lost it again.",
    "It was {place}, just as the {adult} had said. {name} was so happy that {he} [danced|sang|laughed] all the way home.",
]
WISH = [
    "{time} {he} wanted to build a {made}. {He} had {material}, but {he} did not know how to begin.",
    "{He} had always wanted a {made}. {time} {he} took {material} and began to build one.",
    "{time} {name} said, “I will build a {made}.” {His} {animal} looked at {him} and said nothing.",
    "The old {made} was broken. {time} {name} decided to build a new one out of {material}.",
]
FAIL = [
    "{He} worked all day {place}. In the evening the {made} was ready, but it fell over at once.",
    "The first {made} was too small. The second {made} broke when the {animal} sat on it.",
    "{weather}, and the work was hard. When {he} was nearly done, the {made} broke in two.",
    "It did not look like a {made}. “That is a very strange {made},” said the {adult}.",
]
HELP = [
    "The {adult} saw it and stopped. “You need [more time|a friend|better tools],” said the {adult}, and began to help {him}.",
    "“May I help you?” asked the {adult}. {name} was glad. Together they started again.",
    "Then the {adult} brought more {material_bare} and showed {him} what to do. The {animal} watched them.",
    "{He} did not give up. {He} asked the {adult} for help, and the {adult} came after work.",
]
BUILT = [
    "In the end the {made} was strong and beautiful. They painted it {colour} and put it {place}.",
    "It took three days. Then a {colour} {made} stood {place}, and everybody came to see it.",
    "At last it was done. “It is the best {made} on the island,” said the {adult}. {name} was proud.",
    "When the {made} was ready, {name} painted it {colour}. {He} gave the {adult} {food} and said, “Thank you.”",
]
GUEST = [
    "{time} there was a knock at the door. It was a {mood2} {animal2}, and it was [wet|hungry|tired|cold].",
    "{time} {he} saw a {animal2} {place}. The {animal2} was [hungry|lost|cold|tired] and looked at {him}.",
    "{time} a {mood2} {animal2} came to the island. Nobody knew where it came from.",
    "{weather}. {name} was sitting {place} when a {mood2} {animal2} came up to {him}.",
]
CARE = [
    "“[Are you hungry|Do you want some|Would you like some]?” asked {name}. {He} gave the {animal2} {food}, and the {animal2} ate it all.",
    "{He} put {his} {colour} {warm} around the {animal2} and took it home. There {he} made {food_bare} for both of them.",
    "{name} asked the {adult} what to do. “Give it {food},” said the {adult}. So {he} gave the {animal2} {food}.",
    "The {animal2} was afraid. {name} sat down and waited. After a while {he} held out {food}, and the {animal2} came closer.",
]
STAYED = [
    "The {animal2} stayed all winter. In spring it slept {place}, and {name} visited it every day.",
    "From that day the {animal2} followed {him} everywhere. The two of them were often seen {place}.",
    "In the morning the {animal2} was gone. But {place} {name} found a {colour} {thing}, and {he} knew who had left it there.",
    "“You can stay with me,” said {name}. The {animal2} [lay down|closed its eyes] and slept until the morning.",
]
ENDINGS = [
    "That night {name} slept very well.", "And so it ended well.",
    "The {adult} smiled and went home.", "{name} told {his} mother everything.",
    "The stars came out over the sea.", "The {animal} was happy too.",
    "Nobody on the island forgot that day.", "The sea was calm, and the lighthouse was bright.",
]  # fmt: skip
PLOTS = [[LOST, SEARCH, ASKED, FOUND], [WISH, FAIL, HELP, BUILT], [GUEST, CARE, STAYED]]
SHARED = {"bread", "soup", "cake", "tea", "honey", "cheese"}

TOKEN = re.compile(r"\w+|[^\w\s]")
END = "<end>"


def facts(random: Random) -> dict[str, str]:
    """Choose what a story is about."""
    sex = random.choice(("she", "he"))
    pronouns = PRONOUNS[sex]
    place, wrong, wrong2 = random.sample(PLACES, 3)
    home = random.choice(HOMES)
    animal, animal2 = random.sample(ANIMALS, 2)
    mood, mood2 = random.sample(MOODS, 2)
    food, material = random.choice(FOODS), random.choice(MATERIALS)
    return {
        "name": random.choice(SHE if sex == "she" else HE),
        **pronouns,
        "His": pronouns["his"].capitalize(),
        **dict(home=home, place=place, wrong=wrong, wrong2=wrong2, mood=mood, mood2=mood2),
        **dict(animal=animal, animal2=animal2, adult=random.choice(ADULTS)),
        **dict(colour=random.choice(COLOURS), thing=random.choice(THINGS)),
        **dict(made=random.choice(MADE), material=f"some {material}", material_bare=material),
        "food": f"some {food}" if food in SHARED else food,
        "food_bare": food if food in SHARED else "bread",
        **dict(warm=random.choice(("coat", "blanket", "jacket")), time=random.choice(TIMES)),
        "weather": random.choice(WEATHER),
    }


def story(random: Random) -> str:
    """Return one story."""
    known = facts(random)
    parts = [OPENINGS, *random.choice(PLOTS), ENDINGS]
    text = " ".join(random.choice(part) for part in parts)
    text = re.sub(r"\[([^\]]*)\]", lambda match: random.choice(match[1].split("|")), text)
    return text.format(**known)


def tokens_of(text: str) -> list[str]:
    """Return the words and punctuation marks of a text.

    >>> tokens_of("“Yes,” said Tom.")
    ['“', 'Yes', ',', '”', 'said', 'Tom', '.']
    """
    return TOKEN.findall(text)


if __name__ == "__main__":
    chosen = Random(int(sys.argv[2]) if sys.argv[2:] else 1)
    for _ in range(int(sys.argv[1]) if sys.argv[1:] else 5):
        sys.stdout.write(story(chosen) + "\n\n")
