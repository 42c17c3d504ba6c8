// Adds up a vitest JSON report for .ci/run: prints `PASSED FAILED`, and appends what failed, with its reasons, to a file.
// usage: node tools/vitest-report.mjs REPORT NAME FAILURES
import { appendFileSync, readFileSync } from 'node:fs';

const [reportFile, name, failuresFile] = process.argv.slice(2);
const report = JSON.parse(readFileSync(reportFile, 'utf8'));
// The first lines of a message hold the assertion and its place; a diff of thousands of lines would push the others out.
const MESSAGE_LINES = 12;

const shortened = (message) => message.split('\n').slice(0, MESSAGE_LINES).join('\n');
const lines = [];
for (const file of report.testResults) {
  // A file that could not be loaded has no tests to report.
  if (file.status === 'failed' && file.assertionResults.length === 0)
    lines.push(`${file.name}: ${shortened(file.message)}`);
  for (const test of file.assertionResults) {
    if (test.status === 'passed') continue;
    lines.push(`${file.name}: ${test.fullName} (${test.status})`, ...test.failureMessages.map(shortened));
  }
}
if (lines.length > 0) appendFileSync(failuresFile, `=== ${name}\n${lines.join('\n')}\n`);

// What was skipped did not run, and a file that did not load hides its tests: both are failures.
const missing =
  report.numPendingTests +
  report.numTodoTests +
  (report.numFailedTests === 0 ? report.numFailedTestSuites : 0);
console.log(report.numPassedTests, report.numFailedTests + missing);
