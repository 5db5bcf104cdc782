// Register, login, and the middleware that checks a bearer token.
import bcrypt from 'bcrypt'
import { Router } from 'express'
import jwt from 'jsonwebtoken'
import { User } from './models.js'
import { Refusal } from './refusal.js'

const SECRET = process.env.JWT_SECRET ?? 'development-only-secret-of-at-least-32-bytes'
const BCRYPT_ROUNDS = 12
const EXPIRES_IN_SECONDS = 900

export const auth = Router()

auth.post('/register', async (request, response) => {
  const { email, password, name } = request.body
  if (await User.exists({ email })) throw new Refusal(409, 'email_taken')
  const user = await User.create({ email, name, password: await bcrypt.hash(password, BCRYPT_ROUNDS) })
  response.status(201).json(session(user))
})

auth.post('/login', async (request, response) => {
  const { email, password } = request.body
  const user = await User.findOne({ email })
  if (!user || !(await bcrypt.compare(password, user.password))) throw new Refusal(401, 'bad_credentials')
  response.json(session(user))
})

export function signedIn(request, response, next) {
  const token = request.get('authorization')?.replace(/^Bearer /, '')
  try {
    request.user = jwt.verify(token ?? '', SECRET, { algorithms: ['HS256'] })
  } catch {
    throw new Refusal(401, 'unauthenticated')
  }
  next()
}

function session(user) {
  const claims = { sub: user.id, role: user.role }
  return {
    user: { id: user.id, email: user.email, name: user.name, role: user.role },
    accessToken: jwt.sign(claims, SECRET, { expiresIn: EXPIRES_IN_SECONDS }),
    expiresIn: EXPIRES_IN_SECONDS,
  }
}
