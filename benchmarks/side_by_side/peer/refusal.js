// A business refusal, and the one place that turns errors into problem documents.
export class Refusal extends Error {
  constructor(status, code) {
    super(code)
    this.status = status
    this.code = code
  }
}

export function problems(error, request, response, next) {
  const status = error instanceof Refusal ? error.status : 500
  if (status === 500) console.error(error)
  const code = error instanceof Refusal ? error.code : 'internal_error'
  response.status(status).type('application/problem+json').json({ title: code, status, code })
}
