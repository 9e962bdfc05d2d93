"""Write grids.hpp from src/zeropoint/formats/grids.py: each fact is written once.

Usage: grids.py GRIDS.py prints the header. A point is one integer, its first weight lowest.
"""

import runpy
import sys


def main() -> None:
    """Print the header."""
    source = runpy.run_path(sys.argv[1])
    lines = ["// Made by native/grids.py; do not edit.", "#pragma once", "#include <cstdint>", ""]
    lines.append("namespace zeropoint {")
    for name, grid in source["GRIDS"].items():
        numbers = [
            sum((level & 0xFF) << 8 * i for i, level in enumerate(point)) for point in grid.points()
        ]
        kind = f"std::uint{8 * grid.size}_t"
        lines.append(f"inline constexpr {kind} grid_{name.lower()}[{len(numbers)}] = {{")
        lines += [f"    {number:#x}u," for number in numbers]
        lines.append("};")
    signs = ", ".join(str(source["even_signs"](code)) for code in range(128))
    lines += [f"inline constexpr std::uint8_t even_signs[128] = {{{signs}}};", "}"]
    sys.stdout.write("\n".join(lines) + "\n")


main()
