"""`python -m cmdop` is the `cmdop` command."""

from cmdop.cli.main import main

if __name__ == "__main__":
    main()
