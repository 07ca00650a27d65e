# A name is taken off the certificate, then the certificate off the configuration: it becomes retired, its files stay.
cert example.com names=example.com,www.example.com
nodes a b c
start all
run 1m
expect names example.com,www.example.com
config all cert example.com names=example.com
run 1m
expect names example.com
expect generation 2
expect verified all
config a drop example.com
run 3m
expect retired false
config b drop example.com
config c drop example.com
run 2m
expect retired true
run 90d
expect issued 2
expect serves a 2
