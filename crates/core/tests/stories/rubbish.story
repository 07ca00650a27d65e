# Keys of failed attempts and versions of old generations are removed a day after nothing refers to them; the latest three generations stay.
cert example.com
nodes a b
start all
run 10s
ca fails
renew example.com
run 20s
ca works
renew example.com
run 10s
renew example.com
run 10s
renew example.com
run 10s
expect generation 5
live 20h
# Nothing was removed before its day was over. Now it is.
live 12h
expect generation 5
expect verified all
rollout back example.com to 3
live 30h
expect generation 3
expect verified all
