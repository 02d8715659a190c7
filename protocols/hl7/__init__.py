"""HL7 v2: reading, answering and building messages, without ever changing what is only forwarded."""
