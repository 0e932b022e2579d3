"""Run the command line by `python -m spikesorter`."""

from spikesorter.cli import main

if __name__ == "__main__":
    main()
