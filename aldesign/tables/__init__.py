"""Tables as people write them: which column is which, and rows before anything is made of them."""
