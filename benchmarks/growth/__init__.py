"""Does a checkout cost more in a shop with a million SKUs, or with a million past orders?

The real use case on three databases of one mongod, by turns: a small shop, one of many SKUs, one of many orders."""
