# A node joins a fleet that has its certificate: it installs what is there.
cert example.com
nodes a b
start all
run 10d
join d
start d
run 10s
expect verified a,b,d
expect issued 1
