"""What the tests share: the machine's tools, a MongoDB server, and whatever else several test modules need."""
