"""The hub: takes sealed messages from nodes, keeps them, hands them on, and never sees what is inside."""
