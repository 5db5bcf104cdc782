"""What a served stack does per second and how long an answer takes, route by route, over loopback HTTP."""
