# A change is rolled out node by node: the recorded specification holds, is renewed even, until all live issuers have the new one.
cert example.com
nodes a b c
start all
run 59d
config b cert example.com names=example.com,new.example.com
run 3d
expect generation 2
expect names example.com
config a cert example.com names=example.com,new.example.com
run 1h
expect names example.com
config c cert example.com names=example.com,new.example.com
run 1m
expect names example.com,new.example.com
expect generation 3
expect verified all
expect issued 3
