"""``camfast view``: a map over its density in the viewers that a lab has."""

import argparse
import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast._whole import write_whole
from camfast.cli import network
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.scan import Volume
    from camfast.scan.showing.viewing import Output

VIEWERS = {
    "napari": "napari, with all maps and picks as layers",
    "chimerax": "ChimeraX: the map as a surface in planes of the density; writes OUT as .cxc",
    "imod": "IMOD's 3dmod: the keys 1 and 2 change between density and map",
    "neuroglancer": "neuroglancer in a browser: serves the files to it, on this machine only, until Ctrl-C",
}
PROGRAMS = {"chimerax": ("chimerax", "ChimeraX"), "imod": ("3dmod",)}
PORT = 8642


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "view",
        parents=[common],
        help="open a map and its density in napari, ChimeraX, IMOD or neuroglancer",
        description="Open what camfast scan wrote in a viewer. With --json nothing is started or served: it says what "
        "would be.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("map", type=Path, metavar="OUT", help="a map that camfast scan wrote, .mrc or .zarr")
    viewers = parser.add_mutually_exclusive_group(required=True)
    for name, text in VIEWERS.items():
        viewers.add_argument(f"--{name}", dest="viewer", action="store_const", const=name, help=text)
    parser.add_argument(
        "--density", type=Path, metavar="TOMO",
        help="what was scanned (default: the file of the name that OUT keeps, beside it or one folder up)",
    )  # fmt: skip
    parser.add_argument(
        "--target", metavar="NAME", help="which of several maps, for ChimeraX and IMOD (default: first)"
    )
    parser.add_argument(
        "--level", type=float, metavar="V", help="of ChimeraX's surface (default: half of a large value)"
    )
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER",
        help="where to write what the viewer cannot read: MRC for ChimeraX and IMOD, OME-Zarr for neuroglancer",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"of neuroglancer's files (default {PORT})")
    parser.add_argument("--state", type=Path, metavar="FILE", help="write neuroglancer's state as JSON, serve nothing")


def run(options: argparse.Namespace) -> None:
    """Find the density, and hand both to the viewer."""
    from camfast.scan.showing.viewing import density_of, open_output

    for flag, viewers in (("target", ("chimerax", "imod")), ("level", ("chimerax",)), ("state", ("neuroglancer",))):
        if getattr(options, flag) is not None and options.viewer not in viewers:
            raise InputError(
                f"--{flag} is for {' and '.join(viewers)}, and the viewer is {options.viewer}; leave it out"
            )
    if options.export is not None and not options.export.is_dir():
        raise InputError(f"--export {options.export}: there is no such folder; make it first")
    output = open_output(options.map)
    density = density_of(output, options.density)
    {"napari": _napari, "chimerax": _chimerax, "imod": _imod, "neuroglancer": _neuroglancer}[options.viewer](
        options, output, density
    )


def _napari(options: argparse.Namespace, output: "Output", density: "Volume | None") -> None:
    from camfast._extras import require
    from camfast.scan.showing.napari import open_viewer

    napari = require("napari", "napari", "showing maps in napari")
    facts = _facts(options, output, density) | {"started": not options.json}
    network.show(options, facts, [f"napari shows {_shown(facts)}"])
    if not options.json:
        open_viewer(output, None if density is None else density.path)
        napari.run()


def _chimerax(options: argparse.Namespace, output: "Output", density: "Volume | None") -> None:
    from camfast.scan.showing.chimerax import MARK, chimerax_script
    from camfast.scan.showing.exporting import density_as, map_as

    index = _chosen(options.target, output)
    script = output.path.with_suffix(".cxc")
    if script.exists() and not script.read_text(encoding="utf-8", errors="replace").startswith(MARK):
        raise InputError(f"{script}: exists, and camfast view didn't write it; move it away")
    cam = map_as(output, index, "mrc", options.export)
    shown = None if density is None else (density, density_as(density, "mrc", options.export))
    _write(script, chimerax_script(output, index, cam, shown, options.level))
    facts = _facts(options, output, density) | {"map": str(cam), "script": str(script)}
    _start(options, facts, [str(script.absolute())])


def _imod(options: argparse.Namespace, output: "Output", density: "Volume | None") -> None:
    from camfast.scan.showing.exporting import density_as, map_as

    cam = map_as(output, _chosen(options.target, output), "mrc", options.export)
    files = [cam] if density is None else [density_as(density, "mrc", options.export), cam]
    facts = _facts(options, output, density) | {"map": str(cam)}
    _start(options, facts, [str(file.absolute()) for file in files])


def _neuroglancer(options: argparse.Namespace, output: "Output", density: "Volume | None") -> None:
    from camfast.scan.showing.exporting import density_as, map_as
    from camfast.scan.showing.neuroglancer import SITE, link_to, neuroglancer_state
    from camfast.scan.showing.serving import HOST, FolderServer

    folders = {"map": map_as(output, 0, "zarr", options.export)}
    if density is not None:
        folders["density"] = density_as(density, "zarr", options.export)
    names = {kind: f"{kind}.zarr" for kind in folders}
    facts = _facts(options, output, density) | {kind: str(path) for kind, path in folders.items()}
    if options.json or options.state is not None:
        if not 0 < options.port < 1 << 16:
            raise InputError(f"--port is {options.port}, expected 1 to 65535, as the state names it")
        addresses = {kind: f"http://{HOST}:{options.port}/{name}" for kind, name in names.items()}
        state = neuroglancer_state(output, density, addresses)
        if options.state is not None:
            _write(options.state, json.dumps(state, indent=1) + "\n")
        facts |= {"state": state, "link": link_to(state), "started": False}
        network.show(options, facts, [facts["link"]])
        return
    served = {names[kind]: path for kind, path in folders.items()}
    with FolderServer(served, SITE, options.port) as server:
        state = neuroglancer_state(output, density, {kind: f"{server.address}/{name}" for kind, name in names.items()})
        network.show(options, {}, [link_to(state), f"{_shown(facts)}: served at {server.address} until Ctrl-C"])
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it
            return


def _start(options: argparse.Namespace, facts: dict[str, Any], files: list[str]) -> None:
    """Start a program with files if it is there, and say so, or else how to start it."""
    names = PROGRAMS[options.viewer]
    found = next((path for path in map(shutil.which, names) if path is not None), None)
    command = [found or names[0], *files]
    text = shlex.join(command)
    started = found is not None and not options.json
    facts |= {"command": command, "started": started}
    network.show(options, facts, [text if started else f"{names[0]} is not on the PATH; where it is, run: {text}"])
    if started:
        try:
            subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise InputError(f"{command[0]}: cannot be started ({error.strerror}); run it yourself: {text}") from None


def _chosen(target: str | None, output: "Output") -> int:
    """Which map a name or number stands for."""
    if target is None:
        return 0
    if target in output.names:
        return output.names.index(target)
    if target.isdecimal() and int(target) < len(output.names):
        return int(target)
    raise InputError(
        f"--target is {target!r}, and {output.path} holds {', '.join(output.names)}; give one of these, or its number "
        "from 0"
    )


def _facts(options: argparse.Namespace, output: "Output", density: "Volume | None") -> dict[str, Any]:
    path = None if density is None else str(density.path)
    return {"viewer": options.viewer, "map": str(output.path), "maps": list(output.names), "density": path}


def _shown(facts: dict[str, Any]) -> str:
    return facts["map"] if facts["density"] is None else f"{facts['map']} over {facts['density']}"


def _write(path: Path, text: str) -> None:
    """Write a file in the place of what is there; where that is a link, what it leads to stays."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
