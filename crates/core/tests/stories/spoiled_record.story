# A record that cannot be read is left alone, and does not keep anybody busy.
cert example.com
nodes a b
start all
run 1m
store spoil certs/example.com
store spoil presence/a
crash all
start all
run 10m
expect serves a 1
