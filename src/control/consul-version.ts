// The version of Consul whose API this is: what clients that ask for one read (Nomad's constraint `>= 1.7`, templates), everywhere the same.

export const CONSUL_VERSION = '1.22.0'
