"""`python -m fivestep`."""

from fivestep.tui.cli import main

if __name__ == "__main__":
    main()
