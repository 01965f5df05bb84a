// Package reason holds every word of the product that users and programs match
// on: condition types, reasons, the classes of detailed errors of an HTTPProxy,
// its status words, and the messages that are part of a contract.
//
// The HTTPProxy words are Contour's (projectcontour.io/v1), so that tools and
// tests written against them keep working. The package never decides which of
// them applies, and it imports nothing.
package reason
