"""What a training needs of a machine that is not at hand: memory, time and money, from compiled programs."""
