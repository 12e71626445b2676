"""What a policy would have lost that never decided: from archived decisions and matured labels."""
