"""The rollouts: what is counted of each arm, what is judged from it, and the program that acts."""
