"""What a training saves, so that it can go on as if it had not been interrupted."""
