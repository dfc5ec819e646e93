#!/usr/bin/env python3
"""Build the committed files under static/ from their sources, or check that they match.

    python scripts/build_assets.py            build (needs Node and node_modules: npm ci)
    python scripts/build_assets.py --check    compare hashes (needs nothing else)
    python scripts/build_assets.py --rebuild  build into memory and compare byte by byte (needs Node)

The first line of the stylesheet carries the hash of everything it was made from, and static/manifest.json the hash
of every file that was copied, so that a check is possible without Node.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "static"
MODULES = ROOT / "node_modules"
STYLESHEET = STATIC / "css" / "llmopt.css"
MANIFEST = STATIC / "manifest.json"
MONO = "@fontsource-variable/jetbrains-mono"
COPIES = {
    "fonts/inter-latin.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
    "fonts/inter-latin-ext.woff2": "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2",
    "fonts/jetbrains-mono-latin.woff2": f"{MONO}/files/jetbrains-mono-latin-wght-normal.woff2",
    "fonts/LICENSE-inter.txt": "@fontsource-variable/inter/LICENSE",
    "fonts/LICENSE-jetbrains-mono.txt": f"{MONO}/LICENSE",
    "vendor/plotly-cartesian.min.js": "plotly.js-cartesian-dist-min/plotly-cartesian.min.js",
    "vendor/LICENSE-plotly.txt": "plotly.js-cartesian-dist-min/LICENSE",
}
PLOTLY_RULE = re.compile(r"""(?:"([^"]+)"|(\w+)):("[^"]*"|'[^']*'),?""")
HASH_LINE = re.compile(r"^/\* sources: ([0-9a-f]{64}) \*/")


def source_files() -> list[Path]:
    """Everything the stylesheet depends on: its sources, the components it scans and the pinned compilers."""
    found = [*STATIC.glob("src/*.css"), *ROOT.glob("templates/cotton/**/*.html"), ROOT / "package-lock.json"]
    return sorted(found)


def sources_hash() -> str:
    digest = hashlib.sha256()
    for path in source_files():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def compile_stylesheet() -> str:
    """The stylesheet as Tailwind compiles it, below the line that names its sources."""
    tailwind = MODULES / ".bin" / "tailwindcss"
    if not tailwind.exists():
        sys.exit("The compiler is missing: run `npm ci` first (Node 20 or later).")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.css"
        command = [str(tailwind), "--input", str(STATIC / "src" / "llmopt.css"), "--output", str(output), "--minify"]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)  # noqa: S603 - a fixed command
        if result.returncode or not output.exists():
            sys.exit(f"Tailwind failed:\n{result.stderr}")
        return f"/* sources: {sources_hash()} */\n{output.read_text(encoding='utf-8')}"


def plotly_stylesheet() -> str:
    """Plotly's own rules as a file, because a strict content security policy forbids the element it would inject."""
    script = (STATIC / "vendor" / "plotly-cartesian.min.js").read_text(encoding="utf-8")
    position = script.index('{"X,X div":') + 1
    lines = ["/* Written by scripts/build_assets.py from the rules inside plotly-cartesian.min.js. */"]
    while (rule := PLOTLY_RULE.match(script, position)) is not None:
        selector = (rule[1] or rule[2]).replace("X", ".js-plotly-plot .plotly").replace("Y", ".plotly-notifier")
        lines.append(f"{selector} {{ {rule[3][1:-1]} }}")
        position = rule.end()
    return "\n".join(lines) + "\n"


def build() -> None:
    for target, source in COPIES.items():
        (STATIC / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(MODULES / source, STATIC / target)
    (STATIC / "vendor" / "plotly.css").write_text(plotly_stylesheet(), encoding="utf-8")
    STYLESHEET.parent.mkdir(parents=True, exist_ok=True)
    STYLESHEET.write_text(compile_stylesheet(), encoding="utf-8")
    copied = {name: file_hash(STATIC / name) for name in [*COPIES, "vendor/plotly.css", "css/llmopt.css"]}
    MANIFEST.write_text(json.dumps(copied, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    print(
        f"Built {STYLESHEET.relative_to(ROOT)} ({STYLESHEET.stat().st_size:,} bytes) and {len(COPIES) + 1} other files."
    )


def problems() -> list[str]:
    """What does not match; empty when everything does."""
    if not STYLESHEET.exists() or not MANIFEST.exists():
        return ["static/ has not been built."]
    found = []
    stated = HASH_LINE.match(STYLESHEET.read_text(encoding="utf-8"))
    if stated is None or stated.group(1) != sources_hash():
        found.append("static/css/llmopt.css was built from other sources: run `make assets`.")
    for name, expected in json.loads(MANIFEST.read_text(encoding="utf-8")).items():
        path = STATIC / name
        if not path.exists() or file_hash(path) != expected:
            found.append(f"static/{name} is not the file that was built.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Build or check the committed assets.")
    parser.add_argument("--check", action="store_true", help="compare hashes, without Node")
    parser.add_argument("--rebuild", action="store_true", help="compile again and compare the result, with Node")
    options = parser.parse_args()
    if not (options.check or options.rebuild):
        build()
        return
    found = problems()
    if options.rebuild and compile_stylesheet() != STYLESHEET.read_text(encoding="utf-8"):
        found.append("static/css/llmopt.css differs from a fresh compilation: run `make assets`.")
    if found:
        sys.exit("\n".join(found))
    print("The committed assets match their sources.")


if __name__ == "__main__":
    main()
