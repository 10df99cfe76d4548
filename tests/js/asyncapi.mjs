// Holds an AsyncAPI document from stdin against the official parser; prints what it found there, as JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0; // a diagnostic's severity; what it would merely have otherwise is no fault of the document
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const errors = diagnostics
  .filter(({ severity }) => severity === ERROR)
  .map(({ code, message, path }) => `${path.join(".")}: ${message} (${code})`);
const messages = document?.allMessages().all().map((message) => message.name()) ?? [];
const operations = document?.allOperations().all().map((operation) => operation.id()) ?? [];
console.log(JSON.stringify({ errors, messages, operations }));
