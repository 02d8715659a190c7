"""Care: what a facility knows of its patients. One room each; the desk's pages are one way to them."""
