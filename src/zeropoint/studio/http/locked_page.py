"""The page of a browser that has no key. Nothing else of the studio can be read without one.

So its few rules of style are part of it, and the content security policy names their hash.
"""

import base64
import hashlib

STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.55 -apple-system,'Segoe UI',Roboto,'Noto Sans',"
    "'Liberation Sans',Arial,system-ui,sans-serif;max-width:38rem;margin:12vh auto 0;"
    "padding:0 1.2rem}b{font-size:1.08rem}h1{font-size:1.6rem;margin:.6rem 0}"
    "pre{padding:.8rem 1rem;border:1px solid;border-radius:8px;overflow:auto}"
)
LOCKED_STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
LOCKED_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    "<title>The studio needs its key · zeropoint</title>\n<style>" + STYLE + "</style>\n</head>\n"
    "<body><main><b>zeropoint</b><h1>The studio needs its key</h1>\n"
    "<p>This browser has no valid key for this studio. Open the link in the terminal in which the "
    "studio runs. If that is closed, start the studio again in the same folder:</p>\n"
    "<pre>zeropoint studio</pre>\n"
    "<p>The link stays the same until somebody replaces its key with --new-key.</p>\n"
    "</main></body>\n</html>"
)
