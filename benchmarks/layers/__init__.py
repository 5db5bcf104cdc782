"""What a request costs the API process, in CPU time: the bare framework, the bare route, the route and its layers."""
