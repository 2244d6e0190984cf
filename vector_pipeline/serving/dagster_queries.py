"""What the service asks of Dagster, in the words of its GraphQL API (Dagster 1.13)."""

RUN = """
fragment RunFields on Run {
  runId jobName status creationTime startTime endTime tags { key value }
}
"""

VERSION = "query { version }"

RELOAD = """
mutation Reload($location: String!) {
  reloadRepositoryLocation(repositoryLocationName: $location) {
    __typename
    ... on Error { message }
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message causes { message } } }
    }
  }
}
"""

JOB = """
query Job($selector: PipelineSelector!) {
  pipelineOrError(params: $selector) { __typename ... on Error { message } }
}
"""

LAUNCH = (
    """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
    ... on LaunchRunSuccess { run { ...RunFields } }
  }
}
"""
    + RUN
)

ONE_RUN = (
    """
query OneRun($id: ID!) {
  runOrError(runId: $id) { __typename ... on Error { message } ... on Run { ...RunFields } }
}
"""
    + RUN
)

RUNS = (
    """
query Runs($filter: RunsFilter, $cursor: String, $limit: Int) {
  runsOrError(filter: $filter, cursor: $cursor, limit: $limit) {
    __typename
    ... on Error { message }
    ... on Runs { results { ...RunFields } }
  }
}
"""
    + RUN
)

TERMINATE = """
mutation Terminate($id: String!) {
  terminateRun(runId: $id) {
    __typename
    ... on Error { message }
    ... on TerminateRunFailure { message }
  }
}
"""

EVENTS = """
query Events($id: ID!, $cursor: String, $limit: Int!) {
  runOrError(runId: $id) {
    __typename
    ... on Error { message }
    ... on Run {
      eventConnection(afterCursor: $cursor, limit: $limit) {
        cursor hasMore
        events {
          __typename
          ... on ExecutionStepOutputEvent {
            metadataEntries {
              __typename label
              ... on IntMetadataEntry { intRepr }
              ... on FloatMetadataEntry { floatValue }
              ... on TextMetadataEntry { text }
              ... on BoolMetadataEntry { boolValue }
            }
          }
          ... on ExecutionStepFailureEvent { error { message causes { message } } }
          ... on RunFailureEvent { message error { message causes { message } } }
        }
      }
    }
  }
}
"""
