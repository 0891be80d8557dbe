"""Text from files of others, made safe to show: nothing in it moves a cursor, hides, or turns what stands beside it."""

from __future__ import annotations

import re

#: control characters but newline and tab, what turns or hides text, separators of lines, and halves of characters
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with each such character as its code point: `[U+001B]`, `[U+202E]`. Letters of all scripts stay."""
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
