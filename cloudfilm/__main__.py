"""``python -m cloudfilm``: the same program as ``cloudfilm``, where its folder of programs is not on the path."""

from scraper.cli.start import main

if __name__ == "__main__":
    main()
