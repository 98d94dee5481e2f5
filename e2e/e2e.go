// Package e2e tests the whole program as its users meet it: real processes, real sockets, real signals. What can be tested
// closer to the code is tested there.
package e2e
