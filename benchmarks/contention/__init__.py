"""How fast can many buyers reserve units of one SKU, and does anything get sold twice?

Five ways to reserve, from the naive one to the service's own ledger, against one real mongod in one run."""
