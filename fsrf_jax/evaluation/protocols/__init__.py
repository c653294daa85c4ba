"""What is observed at test time: conditions, masks, averages, and files of them."""
