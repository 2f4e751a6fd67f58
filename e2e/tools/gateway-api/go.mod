// The Gateway API, of which only the definitions of its kinds are used: no program of it is built. See ../README.md.
module recommender.dev/e2e/tools/gateway-api

go 1.26.4

require sigs.k8s.io/gateway-api v1.7.0 // indirect
