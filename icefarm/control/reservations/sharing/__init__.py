"""What accounts used, boards that change hands, and boards that were held for too long while others wait."""
