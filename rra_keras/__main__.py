"""Train, ask and export a classifier of photos whose classes look alike.

  rra train --dataset=photos      train on a folder with a folder of photos for each class
  rra predict RUN photo.jpg …     name what is on photos
  rra evaluate RUN                accuracy and calibration on the test photos, as JSON
  rra report RUN                  a page: what the model sees, and where it is wrong
  rra boxes --dataset=photos      a page to draw boxes on, for `rra train --boxes=boxes.csv`
  rra export RUN                  TFLite files for phones, measured and checked
  rra web --model=FILE --out=DIR  a page that runs an exported file in the browser

RUN is the directory that training wrote. `rra COMMAND --help` shows a command's flags.
"""

import difflib
import importlib
import sys

from rra_keras import cli, quiet

_COMMANDS = {
    "train": "rra_keras.train_command",
    "predict": "rra_keras.predict",
    "evaluate": "rra_keras.evaluate",
    "report": "rra_keras.report",
    "boxes": "rra_keras.boxes",
    "export": "export.__main__",
    "web": "export.web",
}


def main():
    """Run the command that is named first: the console script `rra`."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in cli.HELP:
        sys.exit(cli.guarded(_help, rest))
    quiet.hush()
    if name not in _COMMANDS:
        near = difflib.get_close_matches(name, _COMMANDS, n=1, cutoff=0.0)[0]
        cli.fail(f"expected one of {', '.join(_COMMANDS)}, such as {near}. Received: {name}")
    sys.argv = [f"rra {name}", *rest]
    quiet.load("tensorflow")  # before what imports it in the open
    module = _COMMANDS[name]
    with cli.bad_input_exits():
        if module.startswith("export."):
            from rra_keras.trained import export_package

            module = module.replace("export", export_package(), 1)
            # What LiteRT logs of itself.
            importlib.import_module(f"{export_package()}.classify").hush_native_log()
        command = importlib.import_module(module)
    cli.run(command.main)


def _help(_):
    print(__doc__.strip())
    return 0


if __name__ == "__main__":
    main()
