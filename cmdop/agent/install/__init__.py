"""The agent as a service of this machine: written down for whatever starts programs here, and taken away."""
