"""What arrived for a department: the list, opening, who does it, what is done with."""
