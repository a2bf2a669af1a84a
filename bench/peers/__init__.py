"""The peers: servers of other hands, set up as a fair administrator would, each in a folder of this run."""
