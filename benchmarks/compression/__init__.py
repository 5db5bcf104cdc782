"""What compression saves on the wire and costs in CPU, on the live responses of a served stack."""
