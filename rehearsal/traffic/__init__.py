"""The lab's traffic: clients that run on its servers, what they log, and what their logs say about an upgrade."""
