"""Crafted inputs that no reader may accept: lists of `Case`s, for tests of any room.

    @pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.name)
    def test_...(case, tmp_path):
        path = case.make(tmp_path)          # what to open; case.says occurs in the error

None of these files is in the repository: each is made when it is needed.
"""

from support.malformed.build import Case
from support.malformed.folders import FOLDER_CASES
from support.malformed.gguf import GGUF_CASES
from support.malformed.meaning import MEANING_CASES
from support.malformed.safetensors import SAFETENSORS_CASES

ALL_CASES: list[Case] = [*GGUF_CASES, *MEANING_CASES, *SAFETENSORS_CASES, *FOLDER_CASES]

__all__ = ["ALL_CASES", "FOLDER_CASES", "GGUF_CASES", "MEANING_CASES", "SAFETENSORS_CASES", "Case"]
