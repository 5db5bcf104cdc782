// The documented original stack: Express, compression, helmet, mongoose. Started by `holdfast bench peer`.
import compression from 'compression'
import express from 'express'
import helmet from 'helmet'
import mongoose from 'mongoose'
import { auth } from './auth.js'
import { inventory, products } from './catalog.js'
import { models } from './models.js'
import { orders } from './orders.js'
import { problems } from './refusal.js'

await mongoose.connect(process.env.MONGODB_URI, { dbName: process.env.DATABASE })
for (const model of models) await model.init()

const app = express()
app.use(helmet())
app.use(compression())
app.use(express.json())
app.use('/api/auth', auth)
app.use('/api/products', products)
app.use('/api/inventory', inventory)
app.use('/api/orders', orders)
app.use(problems)

const server = app.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`))
process.on('SIGTERM', () => server.close(() => process.exit(0)))
