// The documents, as mongoose models with the documented indexes.
import mongoose from 'mongoose'

const { Schema } = mongoose
const timestamps = { timestamps: true }

const user = new Schema(
  {
    email: { type: String, required: true, unique: true, lowercase: true },
    password: { type: String, required: true },
    name: { type: String, required: true },
    role: { type: String, enum: ['customer', 'staff', 'admin'], default: 'customer' },
  },
  timestamps,
)

const product = new Schema(
  {
    slug: { type: String, required: true, unique: true },
    name: { type: String, required: true },
    description: String,
    category: String,
    brand: String,
    tags: [String],
    price: { type: Number, required: true },
    currency: { type: String, default: 'GBP' },
    images: [String],
    rating: { average: Number, count: Number },
    variants: [{ _id: false, sku: String, name: String, price: Number }],
    sku: String,
    isActive: { type: Boolean, default: true },
  },
  timestamps,
)
product.index({ name: 'text', description: 'text' }, { weights: { name: 10, description: 1 } })
product.index({ category: 1, price: 1 }, { partialFilterExpression: { isActive: true } })
product.index({ isActive: 1, createdAt: -1 })

const inventory = new Schema({
  sku: { type: String, required: true, unique: true },
  onHand: { type: Number, required: true },
  reserved: { type: Number, default: 0 },
  available: { type: Number, required: true },
  lowStockThreshold: { type: Number, default: 5 },
})

const line = { _id: false, sku: String, name: String, quantity: Number, unitPrice: Number, lineTotal: Number }
const order = new Schema(
  {
    user: { type: Schema.Types.ObjectId, ref: 'User', required: true },
    status: { type: String, default: 'pending' },
    items: [line],
    total: Number,
    currency: { type: String, default: 'GBP' },
  },
  timestamps,
)
order.index({ user: 1, createdAt: -1 })

const reservation = new Schema(
  {
    order: { type: Schema.Types.ObjectId, ref: 'Order', required: true, index: true },
    sku: String,
    quantity: Number,
    status: { type: String, default: 'active' },
    expiresAt: { type: Date, required: true },
  },
  timestamps,
)
reservation.index({ status: 1, expiresAt: 1 })

const history = new Schema({ sku: String, delta: Number, reason: String, order: Schema.Types.ObjectId }, timestamps)
history.index({ sku: 1, createdAt: -1 })

export const User = mongoose.model('User', user)
export const Product = mongoose.model('Product', product)
export const Inventory = mongoose.model('Inventory', inventory)
export const Order = mongoose.model('Order', order)
export const StockReservation = mongoose.model('StockReservation', reservation)
export const StockHistory = mongoose.model('StockHistory', history)
export const models = [User, Product, Inventory, Order, StockReservation, StockHistory]
