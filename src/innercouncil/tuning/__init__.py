"""From a persona's messages to its adapter: data, plan, training, export; no web, no database in it."""
