// Checkout and payment: one transaction per request, run again by the driver when it meets another one.
import { Router } from 'express'
import mongoose from 'mongoose'
import { signedIn } from './auth.js'
import { Inventory, Order, Product, StockHistory, StockReservation } from './models.js'
import { Refusal } from './refusal.js'

const HOLD_MILLISECONDS = 15 * 60 * 1000

export const orders = Router()
orders.use(signedIn)

orders.post('/', async (request, response) => {
  const items = await priced(request.body.items)
  const order = await mongoose.connection.transaction(async (session) => {
    for (const { sku, quantity } of items) await take(sku, quantity, session)
    const total = items.reduce((sum, item) => sum + item.lineTotal, 0)
    const [placed] = await Order.create([{ user: request.user.sub, items, total }], { session })
    const expiresAt = new Date(Date.now() + HOLD_MILLISECONDS)
    for (const { sku, quantity } of items) {
      await StockReservation.create([{ order: placed._id, sku, quantity, expiresAt }], { session })
      await StockHistory.create([{ sku, delta: -quantity, reason: 'checkout', order: placed._id }], { session })
    }
    return view(placed, { status: 'active', expiresAt })
  })
  response.status(201).json({ order })
})

orders.post('/:id/pay', async (request, response) => {
  const order = await mongoose.connection.transaction(async (session) => {
    const found = await Order.findOne({ _id: request.params.id, user: request.user.sub }).session(session)
    if (!found) throw new Refusal(404, 'not_found')
    if (found.status !== 'pending') throw new Refusal(409, 'wrong_status')
    const held = await StockReservation.find({ order: found._id, status: 'active' }).session(session)
    for (const hold of held) {
      await Inventory.updateOne(
        { sku: hold.sku },
        { $inc: { onHand: -hold.quantity, reserved: -hold.quantity } },
        { session },
      )
      hold.status = 'confirmed'
      await hold.save({ session })
      await StockHistory.create([{ sku: hold.sku, delta: -hold.quantity, reason: 'sold', order: found._id }], { session })
    }
    found.status = 'paid'
    await found.save({ session })
    return view(found, { status: 'confirmed', expiresAt: held[0]?.expiresAt })
  })
  response.json({ order })
})

orders.get('/', async (request, response) => {
  const found = await Order.find({ user: request.user.sub }).sort({ createdAt: -1 }).limit(24)
  response.json({ items: found.map((order) => view(order, null)), nextCursor: null })
})

async function priced(items) {
  const skus = items.map((item) => item.sku)
  const found = await Product.find({ $or: [{ sku: { $in: skus } }, { 'variants.sku': { $in: skus } }] })
  return items.map(({ sku, quantity }) => {
    const product = found.find((one) => one.sku === sku || one.variants.some((variant) => variant.sku === sku))
    if (!product) throw new Refusal(422, 'unknown_items')
    const unitPrice = product.variants.find((variant) => variant.sku === sku)?.price ?? product.price
    return { sku, name: product.name, quantity, unitPrice, lineTotal: unitPrice * quantity }
  })
}

async function take(sku, quantity, session) {
  const taken = await Inventory.findOneAndUpdate(
    { sku, available: { $gte: quantity } },
    { $inc: { available: -quantity, reserved: quantity } },
    { session },
  )
  if (!taken) throw new Refusal(409, 'insufficient_stock')
}

function view(order, reservation) {
  const { id, status, items, total, currency, createdAt } = order
  return { id, status, items, total, currency, createdAt, reservation }
}
