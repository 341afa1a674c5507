"""A search whose episodes are played elsewhere: in another simulator, on a robot, by somebody's own program."""
