"""One address floods the service while another one shops: what the shopper notices of it."""
